"""What is written to a chip's flash: published firmware, our partitions, identity, application."""
