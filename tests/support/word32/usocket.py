"""Only so that umqtt imports: its reads and writes go through firmware.mqtt's door."""
