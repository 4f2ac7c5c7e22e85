"""The commands of host_tools, one file for each or for those that belong together."""
