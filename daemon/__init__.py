"""The process: configuration, start and stop, admin socket, metrics, logs, command line."""
