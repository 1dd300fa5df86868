"""Models on other servers: named by the configuration, asked by the Open Inference Protocol V2, served as versions like any other."""
