// Asks an org as jsforce does, and prints what came back as JSON: node ask.mjs URL TOKEN
import jsforce from "@jsforce/jsforce-node";

const [instanceUrl, accessToken] = process.argv.slice(2);
const org = new jsforce.Connection({ instanceUrl, accessToken, version: "64.0" });
const SUMMARY = "License_Usage_Summary__c";
const KEY = "Usage_Key__c";
const told = {};

const account = await org.sobject("Account").create({ Name: "Acme" });
told.created = account.success;
told.found = (await org.query("SELECT Id, Name, Owner.Name FROM Account")).records.map((one) => [one.Name, one.Owner.Name]);

const one = { [KEY]: "e1", Account__c: account.id, Seats_Licensed__c: 5 };
told.first = (await org.sobject(SUMMARY).upsert(one, KEY)).created ?? null;
told.second = (await org.sobject(SUMMARY).upsert({ ...one, Seats_Licensed__c: null }, KEY)).created ?? null;

const several = ["e1", "e2", "e3"].map((key) => ({ [KEY]: key, Renewal_Signal__c: key === "e2" ? "splendid" : "steady" }));
const answers = await org.sobject(SUMMARY).upsert(several, KEY, { allOrNone: false });
told.several = answers.map((answer) => answer.success || answer.errors[0].errorCode || answer.errors[0].statusCode);

told.refused = await org.sobject("Account").create({}).catch((error) => error.errorCode ?? error.name);
told.described = (await org.sobject(SUMMARY).describe()).fields.filter((field) => field.externalId).map((field) => field.name);

const rows = Array.from({ length: 300 }, (_, n) => ({ [KEY]: `b${n}`, Product_SKU__c: n === 7 ? "x".repeat(81) : "PRO" }));
org.bulk2.pollInterval = 50;
org.bulk2.pollTimeout = 20000;
const bulk = await org.bulk2.loadAndWaitForResults({ object: SUMMARY, operation: "upsert", externalIdFieldName: KEY, input: rows });
told.bulk = [bulk.successfulResults.length, bulk.failedResults.map((row) => row.sf__Error.split(":")[0])];

console.log(JSON.stringify(told));
