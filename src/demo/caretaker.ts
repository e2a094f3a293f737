import { type ChildProcess, spawn } from 'node:child_process'
import { SHOW_MAIN_SCREEN } from './view.ts'

/**
 * A shell that outlives this process. Its stdin is a pipe that only we hold: the end of input without a word means that
 * we were killed. The first removal may meet coordinators that are still closing their logs, so there is a second.
 */
const SCRIPT = `
read -r word && exit 0
printf '%b' "$2"
sleep 1; rm -rf "$1"; sleep 6; rm -rf "$1"
`

/** Cleans up after a demo that was killed with SIGKILL: the directory goes, and the terminal is readable again. */
export class Caretaker {
  readonly #shell: ChildProcess

  /** `live`: the view has taken the terminal over. */
  constructor(directory: string, live: boolean) {
    // Detached: Ctrl-C reaches the whole process group, and the caretaker must survive it.
    this.#shell = spawn('/bin/sh', ['-c', SCRIPT, 'concordat-caretaker', directory, live ? SHOW_MAIN_SCREEN : ''], {
      detached: true,
      stdio: ['pipe', live ? 'inherit' : 'ignore', 'ignore'],
    })
    this.#shell.on('error', () => {})
    this.#shell.stdin?.on('error', () => {})
    this.#shell.unref()
  }

  /** The directory is gone, and nothing is left to do. */
  dismiss(): void {
    this.#shell.stdin?.end('done\n')
  }
}
