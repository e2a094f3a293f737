import type { Checker } from './checker.ts'
import { Oracle } from './oracle.ts'

/** Notes the checks that failed. */
export class NotedChecks implements Checker {
  nowMs = 0
  readonly failed: string[] = []

  fail(check: string): void {
    if (!this.failed.includes(check)) this.failed.push(check)
  }
}

/** The checks that fail when `history` is played to an oracle. */
export function checksFailedBy(history: (oracle: Oracle, checks: NotedChecks) => void): readonly string[] {
  const checks = new NotedChecks()
  history(new Oracle(checks), checks)
  return checks.failed
}
