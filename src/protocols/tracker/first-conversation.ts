/**
 * Two people, one PIN, one position, with nothing but curl: Engine.IO long polling is plain HTTP, so every packet of the
 * conversation can be seen.
 */
export function firstConversation(url: string): string {
  return `api=${url}
sio="$api/track-sio/sio/?EIO=4&transport=polling"
token() { # signs up (again does no harm) and logs in
  person='{"username":"'$1'","password":"secret123"}'
  curl -s "$api/user" -H 'content-type: application/json' -d "$person" >/dev/null
  curl -s "$api/login/v2" -H 'content-type: application/json' -d "$person" | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/'
}
connect() { # opens a session and the namespace, prints the session id
  sid=$(curl -s "$sio" -H "authorization: Bearer $1" | sed 's/.*"sid":"\\([^"]*\\)".*/\\1/')
  curl -s "$sio&sid=$sid" -d 40 >/dev/null && curl -s "$sio&sid=$sid" >/dev/null && echo "$sid"
}
hear() { curl -s "$sio&sid=$1" | tr '\\036' '\\n'; echo; } # prints what has come for a session, or waits for it
alice=$(token alice); bobby=$(token bobby)
pin=$(curl -s "$api/track/generate-pin" -H "authorization: Bearer $alice" | sed 's/[^0-9]//g')
a=$(connect "$alice"); b=$(connect "$bobby")
curl -s "$sio&sid=$a" -d "42[\\"join_room\\",\\"$pin\\"]" >/dev/null; hear "$a" # alice sees herself joining
curl -s "$sio&sid=$b" -d "42[\\"join_room\\",\\"$pin\\"]" >/dev/null; hear "$a" # bobby joining
curl -s "$sio&sid=$b" -d "42[\\"move\\",{\\"lat\\":-37.81,\\"long\\":144.96,\\"roomId\\":\\"$pin\\"}]" >/dev/null; hear "$a" # and moving`;
}
