const form = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** True for a UUID in lower case; Postgres answers anything else with an error where "not found" is meant. */
export function isUuid(text: string): boolean {
  return form.test(text);
}
