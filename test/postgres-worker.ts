import { inject } from 'vitest'

// Before any test asks where to store.
process.env.CAEGIS_TEST_POSTGRES ??= inject('postgres')
