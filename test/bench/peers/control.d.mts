/** Tells the port this server listens on, then serves the control line until it ends. */
export function listening(port: number): void;
