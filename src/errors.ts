/** One row of an error table. */
export interface ErrorRow {
  /** The text a client is shown. Never holds client input or internals. */
  readonly text: string;
  /** HTTP status of the error on a REST route. */
  readonly status: number;
  /** WebSocket close code, where the error ends a socket. */
  readonly close?: number;
  /** Whether a client should come back by itself (true) or stay away (false). */
  readonly comeBack: boolean;
}

/**
 * An error a client may see, thrown by its code. The row comes from the closed table it was declared in; `cause` is for
 * the log alone.
 */
export class Fault<Code extends string = string> extends Error {
  override readonly name = "Fault";
  readonly code: Code;
  readonly row: ErrorRow;
  /** Seconds after which a retry can succeed, for errors that limit a rate. */
  readonly retryAfter: number | undefined;

  constructor(code: Code, row: ErrorRow, options: { cause?: unknown; retryAfter?: number } = {}) {
    super(row.text, { cause: options.cause });
    this.code = code;
    this.row = row;
    this.retryAfter = options.retryAfter;
  }
}

/** A closed table of errors: `table.fault("code")` makes the error to throw, `table.rows` is the whole list. */
export interface ErrorTable<Code extends string> {
  readonly rows: Readonly<Record<Code, ErrorRow>>;
  fault(code: Code, options?: { cause?: unknown; retryAfter?: number }): Fault<Code>;
  /** True for a fault that was made by this table. */
  owns(error: unknown): error is Fault<Code>;
}

/** Declares a closed table of errors. */
export function defineErrors<const Rows extends Record<string, ErrorRow>>(
  rows: Rows,
): ErrorTable<Extract<keyof Rows, string>> {
  type Code = Extract<keyof Rows, string>;
  return {
    rows,
    fault: (code, options) => new Fault(code, rows[code] as ErrorRow, options),
    owns: (error): error is Fault<Code> =>
      error instanceof Fault && Object.hasOwn(rows, error.code) && rows[error.code] === error.row,
  };
}
