"""Creates a bucket in moto, which checks no signature: URL, two words that are not used, bucket."""

import sys
import urllib.request

url, _, _, bucket = sys.argv[1:]
request = urllib.request.Request(f"{url}/{bucket}", method="PUT")
urllib.request.urlopen(request).read()
