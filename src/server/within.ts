import type { Clock } from '../base/index.ts'

/** Waits for `call`, but not beyond `ms`. @throws Error naming `who` when the time is over; what `call` throws */
export function within<T>(clock: Clock, ms: number, who: string, call: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(ms, () => reject(new Error(`${who} did not answer within ${ms} ms`)))
    call.then(resolve, reject).finally(() => clock.cancel(timer))
  })
}
