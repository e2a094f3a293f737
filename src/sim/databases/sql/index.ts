/** The little SQL that simulated databases speak. */
export { execute, type Result } from './execute.ts'
export type { Execution } from './matching.ts'
export { parse } from './parser.ts'
export { type Expression, SqlError, type Statement } from './syntax.ts'
export { splitStatements } from './tokens.ts'
