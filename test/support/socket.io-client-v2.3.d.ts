/** The stock client of release 2.3, typed as that of 2.5. */
declare module "socket.io-client-v2.3" {
  export { default } from "socket.io-client-v2";
}
