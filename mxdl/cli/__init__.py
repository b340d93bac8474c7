"""The command `mxdl`: one file a command, and no logic worth importing."""
