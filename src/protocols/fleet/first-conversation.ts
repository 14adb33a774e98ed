import { shellOfSourceTree } from "../shell.ts";

/** Shell lines in which a truck reports where it is and its dispatcher looks; the README shows them. */
export function firstConversation(url: string, internal: string): string {
  return `${shellOfSourceTree}
truck=truck-$$; ann=ann$$
made=$(patchbay fleet unit $truck --plate AB-12-CD --admin ${internal})
uid=$(echo "$made" | sed -n 's/^uid *//p'); key=$(echo "$made" | sed -n 's/^key *//p')
patchbay fleet user $ann --password secret123 --units $uid --admin ${internal} >/dev/null
curl -s "${url}/fleet/ingress/osmand?id=$truck&key=$key&lat=38.7223&lon=-9.1393&speed=20&ignition=true"
curl -s -u $ann:secret123 ${url}/ws/vehiclesForUser | grep -o '"plate":"[^"]*"\\|"loc":{[^}]*},"gsp":[0-9]*' # what Ann sees`;
}
