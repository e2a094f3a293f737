/** What the simulated world is busy with. */
export { BankWorkload } from './bank-workload.ts'
export { MixedWorkload } from './mixed-workload.ts'
export { RawWorkload } from './raw-workload.ts'
