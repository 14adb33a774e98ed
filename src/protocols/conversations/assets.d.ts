/** Files imported `with { type: "file" }`: their path, on disk or inside the executable. */
declare module "*.min.js" {
  const path: string;
  export default path;
}
