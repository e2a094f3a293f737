/** What the simulated world is busy with. */
export { BankWorkload } from './bank-workload.ts'
export { RawWorkload } from './raw-workload.ts'
