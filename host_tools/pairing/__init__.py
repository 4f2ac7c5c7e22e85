"""Binding meters: identities, the gateway's registry, labels, audit, work orders, many at once."""
