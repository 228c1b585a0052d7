"""Who hears of an alert, and when: pure stages from event to notification. The worker is `stream_processors/notify`."""
