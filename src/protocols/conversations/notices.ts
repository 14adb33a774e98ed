import type { Namespace } from "socket.io";
import type { ActiveUsers, CreateRoom, MessageNotice, SeenNotice, StatusChange } from "./messages.ts";
import type { RoomName, Side } from "./room-name.ts";
import { type ChatPeer, userTopic } from "./session.ts";

/** What the server says to users (section 5), on all nodes. */
export class Notices {
  #namespace: Namespace | null = null;

  /** Where to send; known once the endpoint is mounted. */
  mounted(namespace: Namespace): void {
    this.#namespace = namespace;
  }

  /** V-5.3, as it was sent. */
  created({ type, buyer, seller, shop_id, creator, buyer_info }: CreateRoom): void {
    const id = `${buyer}.${seller}`;
    const info = buyer_info === undefined ? {} : { buyer_info };
    this.#to(creator).emit("create_room", { _id: id, room_id: id, type, buyer, seller, shop_id, creator, ...info });
  }

  /** V-5.4. One broadcast to both, since its order within a node is that of the two names. */
  message(message: MessageNotice): void {
    this.#to(message.from, message.to).emit("new_message", message);
  }

  /** V-4.17: somebody who sent a message again gets it again. */
  repeated(peer: ChatPeer, message: MessageNotice): void {
    peer.emit("new_message", message);
  }

  /** V-5.5: everybody but the emitting socket. */
  typing(peer: ChatPeer, event: "typing" | "stop_typing", room: RoomName, from: string, to: string): void {
    peer.socket.to([userTopic(from), userTopic(to)]).emit(event, { room_id: room.id, from, to });
  }

  /** V-5.6. */
  seen(notice: SeenNotice): void {
    this.#to(notice.to).emit("seen_messages", notice);
  }

  /** V-5.7. */
  deleted({ id, buyer, seller }: RoomName, side: Side): void {
    this.#to(seller, buyer).emit("room_deletion", { room_id: id, seller, buyer, deletion_role: side });
  }

  /** V-5.8, to all sockets of the user. */
  activeUsers(list: ActiveUsers): void {
    this.#to(list.user_id).emit("active_user_list", list);
  }

  /** V-5.9, to one user. */
  status(receiver: string, change: StatusChange): void {
    this.#to(receiver).emit("user_status_change", change);
  }

  #to(...users: string[]) {
    if (!this.#namespace) throw new Error("the endpoint is not mounted");
    return this.#namespace.to(users.map(userTopic));
  }
}
