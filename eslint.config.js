// SPDX-License-Identifier: MIT
import tseslint from 'typescript-eslint';

const ours = {
  rules: {
    'no-eval': 'error',
    'prefer-const': 'error',
    eqeqeq: 'error',
    'no-var': 'error',
    'no-console': 'off',
    'max-params': ['error', 5],
    complexity: ['error', 20],
  },
};

export default tseslint.config(
  { ignores: ['dist/', 'build/', 'coverage/', 'node_modules/', '.tap/', 'lib/generated/'] },
  {
    files: ['**/*.ts', '**/*.cts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json' } },
    rules: {
      ...ours.rules,
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-base-to-string': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-import-type-side-effects': 'off',
      '@typescript-eslint/require-await': 'off',
    },
  },
  { files: ['lib/**/*.cts'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
  {
    // ava hands its context to callbacks it awaits itself
    files: ['test/**/*.ts'],
    rules: { '@typescript-eslint/no-floating-promises': 'off' },
  },
  { files: ['**/*.mjs', '**/*.js'], ...ours, languageOptions: { sourceType: 'module' } },
  // preinstall.cjs runs on whatever node is there
  { files: ['**/*.cjs'], ignores: ['tools/build/preinstall.cjs'], ...ours },
);
