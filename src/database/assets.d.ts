/** Files imported `with { type: "file" }`: their path, on disk or inside the executable. */
declare module "*.wasm" {
  const path: string;
  export default path;
}
declare module "*.data" {
  const path: string;
  export default path;
}
declare module "*.tar.zst" {
  const path: string;
  export default path;
}
