import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const SCRIPT = join(import.meta.dirname, 'full-store.support.ts')

const [unshare = '', ...probe] = ['unshare', '-m', 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', '/mnt']
const canMount = spawnSync(unshare, probe).status === 0
if (!canMount) console.warn('the full-store story is skipped: it needs root and `unshare -m` with `mount -t tmpfs`')

test.skipIf(!canMount)(
  'a store on a full disk fails in our words, keeps its old mark, and does not end the process',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'concordat-kv-'))
    try {
      const mounted = 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"'
      const node = [process.execPath, '--import', 'tsx', SCRIPT]
      const { stdout, stderr, status } = spawnSync(unshare, ['-m', 'sh', '-c', mounted, directory, ...node], {
        env: { ...process.env, KV_DIRECTORY: join(directory, 'data') },
        encoding: 'utf8',
        timeout: 20_000,
      })
      expect(status, stderr).toBe(0)
      expect(stdout).toBe('KV_STORE_FAILED first kept\n')
    } finally {
      rmSync(directory, { recursive: true })
    }
  },
)
