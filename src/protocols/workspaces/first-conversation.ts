/**
 * Two people, one workspace, one voice channel, with nothing but curl: Engine.IO long polling is plain HTTP, so every
 * packet of the conversation can be seen.
 */
export function firstConversation(url: string): string {
  return `api=${url}
sio="$api/socket.io/?EIO=4&transport=polling"
field() { sed 's/.*"'$1'":"\\([^"]*\\)".*/\\1/'; } # the last value of that name
call() { curl -s -X POST "$api$2" -H "authorization: Bearer $1" -H 'content-type: application/json' -d "$3"; }
signup() { # makes an account under a fresh address, prints its access token
  call none /signup '{"user":{"name":"'$1'","email":"'$1.$(date +%s%N)'@example.com","password":"secret"}}' | field accessToken
}
hear() { # <session id> <event>: prints what comes for a session until that event has come
  while seen=$(curl -sf "$sio&sid=$1"); do echo "$seen"; case $seen in *'"'$2'"'*) break; esac; done
}
connect() { # opens a session, joins the namespace, authenticates, prints "<session id> <socket id>"
  sid=$(curl -s "$sio" | sed 's/.*"sid":"\\([^"]*\\)".*/\\1/')
  curl -s "$sio&sid=$sid" -d 40 >/dev/null; id=$(curl -s "$sio&sid=$sid" | field sid)
  curl -s "$sio&sid=$sid" -d '42["auth",{"token":"'$1'","workspaceId":"'$space'"}]' >/dev/null
  hear "$sid" auth-success >/dev/null; echo "$sid $id"
}
alice=$(signup Alice); bobby=$(signup Bobby)
space=$(call "$alice" /workspaces '{"name":"Our place"}' | sed 's/{"workspace":{"id":"\\([^"]*\\)".*/\\1/')
code=$(call "$alice" "/workspaces/$space/invites" '{}' | field code)
call "$bobby" "/join/$code" '{}' >/dev/null
read -r a _ <<<"$(connect "$alice")"; read -r _ b <<<"$(connect "$bobby")"
channel=$(call "$alice" "/workspaces/$space/channels" '{"name":"Voice"}' | sed 's/{"channel":{"id":"\\([^"]*\\)".*/\\1/')
call "$bobby" "/channels/$channel/select?socketId=$b" '{"microphone":true,"speakers":true,"screen":false,"camera":false,"speaking":false}'; echo
hear "$a" user-selected-channel | grep -o '42\\["[a-z-]*' # what alice is told: bobby is online, a channel, bobby is in it`;
}
