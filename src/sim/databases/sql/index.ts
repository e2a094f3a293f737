/** The little SQL that simulated databases speak. */
export { execute } from './execute.ts'
export type { Execution } from './matching.ts'
export { parse } from './parser.ts'
export { SqlError, type Statement } from './syntax.ts'
export { splitStatements } from './tokens.ts'
