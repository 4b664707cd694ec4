"""Verifies captured deliveries with the libraries that customers use, as customers use them.

Reads a JSON array of {"headers": {...}, "body": "...", "secret": "whsec_..."} from the file that is
named, and prints one JSON line per delivery: what each library said of it, and how pywa reads the
update. Exits with 1 where a library refused one.
"""

import json
import sys

from pywa import utils
from standardwebhooks import Webhook


def standard_webhooks(delivery):
    Webhook(delivery["secret"]).verify(delivery["body"], delivery["headers"])
    return "ok"


def cloud_api_client(delivery):
    body = delivery["body"].encode()
    signature = delivery["headers"]["x-hub-signature-256"]
    return "ok" if utils.webhook_updates_validator(delivery["secret"], body, signature) else "wrong signature"


def attempt(check, delivery):
    try:
        return check(delivery)
    except Exception as refused:  # whatever the library raises is its verdict
        return f"{type(refused).__name__}: {refused}"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        deliveries = json.load(file)
    refused = 0
    for delivery in deliveries:
        verdict = {
            "standardwebhooks": attempt(standard_webhooks, delivery),
            "pywa": attempt(cloud_api_client, delivery),
        }
        refused += sum(word != "ok" for word in verdict.values())
        print(json.dumps(verdict))
    sys.exit(1 if refused else 0)


main()
