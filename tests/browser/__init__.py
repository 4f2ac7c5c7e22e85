"""What needs a browser: collected where there is a Chromium, and always in CI."""
