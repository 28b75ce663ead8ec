"""Creates a container in Azurite: URL of the account, account, key, container."""

import base64
import hashlib
import hmac
import sys
import urllib.error
import urllib.request
from email.utils import formatdate

url, account, key, container = sys.argv[1:]
headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
signed = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
text = f"PUT{chr(10) * 12}{signed}/{account}/{account}/{container}\nrestype:container"
digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(digest).decode()}"
request = urllib.request.Request(f"{url}/{container}?restype=container", method="PUT", headers=headers)
try:
    urllib.request.urlopen(request).read()
except urllib.error.HTTPError as error:
    sys.exit(f"{error}: {error.read().decode(errors='replace')}")
