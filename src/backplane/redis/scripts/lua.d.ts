/** Lua sources are imported as text, so that they are part of the executable: `with { type: "text" }`. */
declare module "*.lua" {
  const text: string;
  export default text;
}
