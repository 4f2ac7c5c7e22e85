"""From the journal to whoever settles or shows: batches, MQTT, export."""
