"""A program that leaves its tokens to httpx-auth: what it asks for past each one's life."""

import sys
import time

import httpx
from httpx_auth import OAuth2ResourceOwnerPasswordCredentials

url, email, password, seconds = sys.argv[1:]
auth = OAuth2ResourceOwnerPasswordCredentials(
    f"{url}/api/auth/token", username=email, password=password, early_expiry=0
)
with httpx.Client(auth=auth) as client:
    for number in range(4):
        if number:
            time.sleep(float(seconds) + 0.1)
        print(client.get(f"{url}/api/tasks").status_code)
    print(len(client.get(f"{url}/api/auth/sessions").json()))
