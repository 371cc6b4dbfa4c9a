// Reads a delivery from standard input and verifies it with each secret; an altered one must fail.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { secrets, headers, body } = JSON.parse(readFileSync(0, "utf8"));
for (const secret of secrets) {
  new Webhook(secret).verify(body, headers);
  let refused = false;
  try {
    new Webhook(secret).verify(body + " ", headers);
  } catch {
    refused = true;
  }
  if (!refused) throw new Error("an altered body was verified");
}
console.log(`verified by standardwebhooks on Node ${process.version}: ${secrets.length} secrets`);
