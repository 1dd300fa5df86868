"""Feature views: how they are declared, computed or loaded, served, and read back as training sets."""
