"""The gateway: takes sealed frames from meters, keeps them durably, hands them to settlement."""
