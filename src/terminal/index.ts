import pc from 'picocolors'

type Colors = ReturnType<typeof pc.createColors>

/**
 * Colours for a stream: only where a terminal shows them. A library's own guess will not do: with `CI` set it
 * colours pipes and files as well, and programs that read our lines then find escape characters in them.
 * `NO_COLOR` (no-color.org) switches them off, `FORCE_COLOR` on.
 */
function colorsOf(stream: NodeJS.WriteStream): Colors {
  const { NO_COLOR, FORCE_COLOR } = process.env
  if (NO_COLOR !== undefined && NO_COLOR !== '') return pc.createColors(false)
  const isForced = FORCE_COLOR !== undefined && FORCE_COLOR !== '' && FORCE_COLOR !== '0'
  return pc.createColors(isForced || stream.isTTY === true)
}

/** For what is printed on stdout. */
export const stdoutColors = colorsOf(process.stdout)

/** For what is printed on stderr. */
export const stderrColors = colorsOf(process.stderr)
