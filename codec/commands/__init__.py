"""The commands of the command line, one module each. The codec is imported when a command runs, not before."""
