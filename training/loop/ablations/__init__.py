"""The paper's ablations: named lists of changed settings, each row trained and measured."""
