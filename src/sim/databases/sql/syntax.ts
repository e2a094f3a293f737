import type { Column, Value } from '../store/index.ts'

/** Statements that both simulated databases know. Everything else is an error, as it would be in a database. */
export type Statement =
  | Select
  | {
      readonly kind: 'insert'
      readonly table: string
      readonly columns: readonly string[] | undefined
      readonly rows: readonly (readonly Expression[])[]
    }
  | {
      readonly kind: 'update'
      readonly table: string
      readonly sets: readonly (readonly [string, Expression])[]
      readonly where: Expression | undefined
    }
  | { readonly kind: 'delete'; readonly table: string; readonly where: Expression | undefined }
  | {
      readonly kind: 'createTable'
      readonly table: string
      readonly ifNotExists: boolean
      readonly columns: readonly Column[]
      readonly keyColumn: string | undefined
    }

export interface Select {
  readonly kind: 'select'
  readonly items: readonly SelectItem[]
  readonly from: string | undefined
  readonly where: Expression | undefined
  readonly orderBy: string | undefined
  readonly limit: number | undefined
  readonly lock: 'none' | 'wait' | 'noWait'
}

export interface SelectItem {
  /** Undefined: all columns. */
  readonly expression: Expression | undefined
  readonly alias: string | undefined
  /** As it was written: MySQL names unnamed columns so. */
  readonly text: string
}

export type Expression =
  | { readonly kind: 'literal'; readonly value: Value }
  | { readonly kind: 'parameter'; readonly index: number }
  | { readonly kind: 'column'; readonly name: string }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | { readonly kind: 'cast'; readonly of: Expression; readonly type: string }
  | { readonly kind: 'in'; readonly of: Expression; readonly among: readonly Expression[] }
  | { readonly kind: 'isNull'; readonly of: Expression; readonly negated: boolean }
  | { readonly kind: 'not'; readonly of: Expression }
  | { readonly kind: 'binary'; readonly operator: Operator; readonly left: Expression; readonly right: Expression }

export type Operator = '=' | '<>' | '<' | '<=' | '>' | '>=' | '+' | '-' | '*' | 'and' | 'or'

/** Why a statement was refused, before a dialect has put it into its own words. */
export class SqlError extends Error {
  readonly reason: 'syntax' | 'noTable' | 'noColumn' | 'noFunction' | 'duplicateKey' | 'tableExists' | 'badValue'
  /** What it is about: a name, or the text near the mistake. */
  readonly what: string
  /** For `syntax`: where, from 0. */
  readonly offset: number

  constructor(reason: SqlError['reason'], what: string, offset = 0) {
    super(`${reason}: ${what}`)
    this.reason = reason
    this.what = what
    this.offset = offset
  }
}
