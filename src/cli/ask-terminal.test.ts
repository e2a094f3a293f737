import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { askTerminal } from './ask-terminal.ts'

function typing(keys: string): Promise<string> {
  const [input, output] = [new PassThrough(), new PassThrough()]
  const answer = askTerminal('The name? ', { input, output })
  input.write(keys)
  return answer
}

test('what was typed comes back', async () => {
  expect(await typing('trips\r')).toBe('trips')
})

test.each([
  ['Ctrl-C', '\u0003'],
  ['Ctrl-D', '\u0004'],
])('%s is no confirmation, and no failure with a stack', async (_, key) => {
  await expect(typing(key)).rejects.toMatchObject({
    code: 'NOT_CONFIRMED',
    message: 'not confirmed. Nothing was changed.',
  })
})
