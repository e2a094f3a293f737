import type { Value } from '../store/index.ts'

const FUNCTIONS: Readonly<Record<string, (...args: readonly Value[]) => Value>> = {
  version: () => '10.11.19-MariaDB-simulated',
  '@@log_bin': () => 0,
  '@@innodb_flush_log_at_trx_commit': () => 1,
  left: (text, length) => String(text).slice(0, Number(length)),
}

/** The functions that our adapter calls. Undefined: there is no such function. */
export function callFunction(name: string, args: readonly Value[]): Value | undefined {
  return FUNCTIONS[name]?.(...args)
}
