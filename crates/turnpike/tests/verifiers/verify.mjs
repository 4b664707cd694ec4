// Verifies captured deliveries with the npm library of Standard Webhooks, as customers use it.
//
// Reads a JSON array of {"headers": {...}, "body": "...", "secret": "whsec_..."} from the file that
// is named, prints one JSON line per delivery, exits with 1 where the library refused one.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

// The library is installed outside the repository, in the folder given last.
const [file, installed] = process.argv.slice(2);
const { Webhook } = createRequire(`${installed}/`)("standardwebhooks");

let refused = 0;
for (const delivery of JSON.parse(readFileSync(file, "utf8"))) {
  let verdict = "ok";
  try {
    new Webhook(delivery.secret).verify(delivery.body, delivery.headers);
  } catch (error) {
    verdict = `${error.name}: ${error.message}`;
    refused += 1;
  }
  console.log(JSON.stringify({ standardwebhooks: verdict }));
}
process.exit(refused ? 1 : 0);
