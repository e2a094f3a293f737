import type { Command } from 'commander'
import { addCoordinatorOptions, askOptions, type CoordinatorFlags, wholeNumber } from './coordinator-option.ts'
import { printJson } from './output.ts'
import { insist } from './patience.ts'

/** `concordat transfer [NODE]`: another coordinator leads. */
export function addTransferCommand(program: Command): void {
  addCoordinatorOptions(program.command('transfer'))
    .description('hand the leadership to another voter; it costs one round trip')
    .argument('[node]', 'which one; otherwise whoever is furthest', wholeNumber)
    .action(async (node: number | undefined, flags: CoordinatorFlags) => {
      const found = await insist(flags.coordinators, { method: 'transfer', node }, askOptions(flags), {
        unreachableMs: flags.timeout,
        refusedMs: 0,
      })
      if (flags.json) printJson(found)
      else console.log(`node ${found.leader} leads${found.already ? ' already' : ''}`)
    })
}
