import type { Row } from '../store/index.ts'
import type { Answer, DriverWire } from '../wire.ts'

/** What a driver sends. */
export type PgRequest =
  | { readonly kind: 'startup' }
  /** One text of any number of statements, without parameters (the simple protocol). */
  | { readonly kind: 'simple'; readonly text: string }
  /** Single statements up to a Sync (the extended protocol). After an error the rest is skipped. */
  | { readonly kind: 'extended'; readonly statements: readonly PgStatement[] }

export interface PgStatement {
  readonly text: string
  readonly values: readonly unknown[]
}

export type PgAnswer = Answer<PgResult, PgFailure>

/** A driver's end of a connection. */
export type PgWire = DriverWire<PgRequest, PgResult, PgFailure>

export interface PgResult {
  /** The command's words, for example `PREPARE TRANSACTION`. */
  readonly tag: string
  readonly count: number
  readonly rows: readonly Row[]
}

/** An error of the server, as its fields travel. */
export interface PgFailure {
  readonly severity: 'ERROR' | 'FATAL'
  readonly code: string
  readonly message: string
  /** Counts characters of the text from 1. */
  readonly position?: string
}
