"""Programs that go with a pulled version. They stand alone: they are copied, and never imported here."""
