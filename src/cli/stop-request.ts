/** Resolves with why this process should stop. */
export function stopRequest(): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'))
    process.once('SIGINT', () => resolve('SIGINT'))
    // A supervisor that spawned this process with a channel takes it along when it goes.
    process.once('disconnect', () => resolve('the supervisor is gone'))
    // It may have gone while the modules were loaded. Without a channel `connected` is undefined.
    if (process.connected === false) resolve('the supervisor is gone')
  })
}
