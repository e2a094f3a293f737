import { statfsSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'

/** Linux's magic number of a file system that is only memory: `O_DSYNC` costs nothing there, and proves nothing. */
const TMPFS = 0x01021994

/** The machine in one line, with what others did on it meanwhile. */
export function describeMachine(directory: string): string {
  const all = cpus()
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  const load = loadavg()[0]?.toFixed(1)
  const disk =
    statfsSync(directory).type === TMPFS ? 'data in tmpfs, so NOT durable; set TMPDIR to a real disk' : 'real disk'
  return `${all.length} × ${all[0]?.model.trim() ?? 'unknown CPU'}, ${memory}, ${process.platform} ${process.arch}, Node ${process.versions.node}, ${disk}, load before the run ${load}`
}
