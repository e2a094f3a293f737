/** How an oracle reports. A `World` has all of it. */
export interface Checker {
  /** True time, milliseconds. */
  readonly nowMs: number
  fail(check: string, what: string): void
}
