"""Ask this container's own gateway whether it is ready: exit code 0 if so. The image has no curl."""

import os
import sys
import urllib.request

URL = f"http://127.0.0.1:{os.environ.get('MOSAIC_LISTEN__PUBLIC__PORT', '8080')}/readyz"
TIMEOUT = 8  # seconds; the gateway itself bounds each of its probes to 5

try:
    with urllib.request.urlopen(URL, timeout=TIMEOUT) as answer:
        print(answer.read(1000).decode())
except OSError as error:  # refused, timed out, or an answer other than 2xx
    sys.exit(f"not ready: {error}")
