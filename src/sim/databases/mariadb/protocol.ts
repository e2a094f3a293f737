import type { Row } from '../store/index.ts'
import type { Answer, DriverWire } from '../wire.ts'

/** What a driver sends. mysql2 puts the values into the text; here they travel beside it, which comes to the same. */
export type MyRequest =
  | { readonly kind: 'startup' }
  | { readonly kind: 'query'; readonly text: string; readonly values: readonly unknown[] }

export type MyAnswer = Answer<MyResult, MyFailure>

/** A driver's end of a connection. */
export type MyWire = DriverWire<MyRequest, MyResult, MyFailure>

export interface MyResult {
  /** Undefined: the statement returns none. */
  readonly rows: readonly Row[] | undefined
  readonly affectedRows: number
}

/** An error of the server, as its fields travel. */
export interface MyFailure {
  readonly errno: number
  readonly code: string
  readonly sqlState: string
  readonly message: string
}
