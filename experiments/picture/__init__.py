"""An experiment drawn: estimates and bounds, look by look."""
